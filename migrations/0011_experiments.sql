CREATE TABLE `experiments` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`created_at` integer NOT NULL,
	`max_cost_nano_usd` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `experiments_name_unique` ON `experiments` (`name`);--> statement-breakpoint
ALTER TABLE `deleted_runs` ADD `experiment_id` integer;--> statement-breakpoint
ALTER TABLE `deleted_runs` ADD `possibly_nano_usd` integer;--> statement-breakpoint
ALTER TABLE `runs` ADD `experiment_id` integer REFERENCES experiments(id);--> statement-breakpoint
CREATE INDEX `runs_experiment` ON `runs` (`experiment_id`);