ALTER TABLE `answers` ADD `finish_reason_raw` text;--> statement-breakpoint
ALTER TABLE `answers` ADD `checksum` integer;