ALTER TABLE `answers` ADD `cache_write_1h_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `attempts` ADD `cache_write_1h_tokens` integer DEFAULT 0 NOT NULL;