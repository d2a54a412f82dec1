CREATE TABLE `user_prices` (
	`id` integer PRIMARY KEY NOT NULL,
	`model` text NOT NULL,
	`base_url` text NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `user_prices_model` ON `user_prices` (`model`,`base_url`);--> statement-breakpoint
DROP INDEX `answers_key`;--> statement-breakpoint
ALTER TABLE `answers` ADD `cache_write_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `answers_key` ON `answers` (`key`,`finish_reason`,`settings_id`);--> statement-breakpoint
ALTER TABLE `attempts` ADD `cost_nano_usd` integer;--> statement-breakpoint
ALTER TABLE `attempts` ADD `reserved_prompt_tokens` integer;--> statement-breakpoint
ALTER TABLE `attempts` ADD `reserved_completion_tokens` integer;--> statement-breakpoint
ALTER TABLE `attempts` ADD `cache_write_tokens` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `attempts_reserved` ON `attempts` (`call_id`) WHERE reserved_prompt_tokens is not null;--> statement-breakpoint
ALTER TABLE `runs` ADD `shard` text;--> statement-breakpoint
ALTER TABLE `runs` ADD `plan_hash` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `runs` ADD `imported` text;--> statement-breakpoint
ALTER TABLE `runs` ADD `estimated_cost_nano_usd` integer;--> statement-breakpoint
ALTER TABLE `runs` ADD `prices` text;--> statement-breakpoint
ALTER TABLE `runs` ADD `max_cost_nano_usd` integer;--> statement-breakpoint
ALTER TABLE `runs` ADD `reuse` text DEFAULT 'same' NOT NULL;--> statement-breakpoint
ALTER TABLE `runs` ADD `cost_nano_usd` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `runs` ADD `attempts_unpriced` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `runs` ADD `cache_write_tokens` integer DEFAULT 0 NOT NULL;
--> statement-breakpoint
UPDATE `attempts` SET `cost_nano_usd` = 0 WHERE `prompt_tokens` + `completion_tokens` = 0 OR `call_id` IN (SELECT `calls`.`id` FROM `calls` JOIN `runs` ON `runs`.`id` = `calls`.`run_id` WHERE `runs`.`provider` = 'offline');
--> statement-breakpoint
UPDATE `runs` SET `attempts_unpriced` = (SELECT count(*) FROM `attempts` JOIN `calls` ON `calls`.`id` = `attempts`.`call_id` WHERE `calls`.`run_id` = `runs`.`id` AND `attempts`.`cost_nano_usd` IS NULL);
--> statement-breakpoint
UPDATE `runs` SET `prices` = '{"input":0,"cached_input":0,"cache_write":0,"output":0,"long_prompts":[],"batch_factor":1,"source":"offline provider","date":"2026-11-22"}' WHERE `provider` = 'offline';
