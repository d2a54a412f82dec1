CREATE TABLE `batches` (
	`id` integer PRIMARY KEY NOT NULL,
	`run_id` integer NOT NULL,
	`name` text NOT NULL,
	`state` text DEFAULT 'prepared' NOT NULL,
	`file_id` text,
	`batch_id` text,
	`status` text,
	`requests` integer NOT NULL,
	`completed` integer DEFAULT 0 NOT NULL,
	`failed` integer DEFAULT 0 NOT NULL,
	`error` text,
	`created_at` integer NOT NULL,
	`ended_at` integer,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `batches_name_unique` ON `batches` (`name`);--> statement-breakpoint
CREATE INDEX `batches_open` ON `batches` (`run_id`,`id`) WHERE state <> 'done';--> statement-breakpoint
ALTER TABLE `attempts` ADD `batch_id` integer REFERENCES batches(id);--> statement-breakpoint
CREATE INDEX `attempts_batch` ON `attempts` (`batch_id`,`id`) WHERE batch_id is not null;--> statement-breakpoint
ALTER TABLE `calls` ADD `batch_id` integer REFERENCES batches(id);--> statement-breakpoint
ALTER TABLE `runs` ADD `executor` text DEFAULT 'live' NOT NULL;--> statement-breakpoint
ALTER TABLE `runs` ADD `batches_open` integer DEFAULT 0 NOT NULL;