DROP INDEX `calls_pending`;--> statement-breakpoint
ALTER TABLE `calls` ADD `wanted_settings_id` integer REFERENCES settings(id);--> statement-breakpoint
CREATE INDEX `calls_open` ON `calls` (`run_id`,`id`) WHERE state = 'pending' or wanted_settings_id is not null;--> statement-breakpoint
ALTER TABLE `runs` ADD `calls_reopened` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `runs` ADD `has_mixed_settings` integer DEFAULT false NOT NULL;