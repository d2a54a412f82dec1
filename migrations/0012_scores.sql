CREATE TABLE `scores` (
	`id` integer PRIMARY KEY NOT NULL,
	`run_id` integer NOT NULL,
	`call_id` integer NOT NULL,
	`answer_id` integer NOT NULL,
	`name` text NOT NULL,
	`value` real NOT NULL,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`call_id`) REFERENCES `calls`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`answer_id`) REFERENCES `answers`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `scores_cell` ON `scores` (`call_id`,`name`);--> statement-breakpoint
CREATE INDEX `scores_name` ON `scores` (`run_id`,`name`,`call_id`,`answer_id`);
-- views 34fbca448987aa71
