DROP INDEX `answers_key`;--> statement-breakpoint
ALTER TABLE `answers` ADD `key_prefix` text GENERATED ALWAYS AS (substr(key, 6, 16)) VIRTUAL;--> statement-breakpoint
CREATE INDEX `answers_key` ON `answers` (`key_prefix`);