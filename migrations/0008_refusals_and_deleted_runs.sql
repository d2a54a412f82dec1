-- The view of answers has the refusals that are kept whole.
-- views 70c2c7dc8f29748e
CREATE TABLE `deleted_runs` (
	`id` integer PRIMARY KEY NOT NULL,
	`public_id` text NOT NULL,
	`deleted_at` integer NOT NULL,
	`cost_nano_usd` integer NOT NULL,
	`attempts_unpriced` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `deleted_runs_public_id_unique` ON `deleted_runs` (`public_id`);--> statement-breakpoint
ALTER TABLE `attempts` ADD `refusal` text;--> statement-breakpoint
UPDATE `attempts` SET `refusal` = substr(`message`, 20) WHERE `outcome` = 'refusal' AND `message` LIKE 'the model refused: %';