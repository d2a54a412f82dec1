CREATE TABLE `answers` (
	`id` integer PRIMARY KEY NOT NULL,
	`key` text NOT NULL,
	`settings_id` integer NOT NULL,
	`origin` text NOT NULL,
	`text` text NOT NULL,
	`finish_reason` text,
	`served_model` text,
	`created_at` integer NOT NULL,
	`prompt_tokens` integer DEFAULT 0 NOT NULL,
	`completion_tokens` integer DEFAULT 0 NOT NULL,
	`cached_tokens` integer DEFAULT 0 NOT NULL,
	`reasoning_tokens` integer DEFAULT 0 NOT NULL,
	`tokens_estimated` integer DEFAULT false NOT NULL,
	FOREIGN KEY (`settings_id`) REFERENCES `settings`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `answers_key` ON `answers` (`key`);--> statement-breakpoint
CREATE TABLE `attempts` (
	`id` integer PRIMARY KEY NOT NULL,
	`call_id` integer NOT NULL,
	`started_at` integer NOT NULL,
	`duration_ms` integer NOT NULL,
	`outcome` text NOT NULL,
	`decision` text NOT NULL,
	`http_status` integer,
	`request_id` text,
	`error_code` text,
	`message` text,
	`prompt_tokens` integer DEFAULT 0 NOT NULL,
	`completion_tokens` integer DEFAULT 0 NOT NULL,
	`cached_tokens` integer DEFAULT 0 NOT NULL,
	`reasoning_tokens` integer DEFAULT 0 NOT NULL,
	`tokens_estimated` integer DEFAULT false NOT NULL,
	FOREIGN KEY (`call_id`) REFERENCES `calls`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `attempts_call` ON `attempts` (`call_id`);--> statement-breakpoint
CREATE TABLE `calls` (
	`id` integer PRIMARY KEY NOT NULL,
	`run_id` integer NOT NULL,
	`task_id` integer NOT NULL,
	`perspective_id` integer NOT NULL,
	`step` text NOT NULL,
	`replicate` integer DEFAULT 1 NOT NULL,
	`state` text DEFAULT 'pending' NOT NULL,
	`answer_id` integer,
	`failure` text,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`task_id`) REFERENCES `tasks`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`perspective_id`) REFERENCES `perspectives`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`answer_id`) REFERENCES `answers`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `calls_cell` ON `calls` (`task_id`,`perspective_id`,`step`,`replicate`);--> statement-breakpoint
CREATE INDEX `calls_pending` ON `calls` (`run_id`,`id`) WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX `calls_failed` ON `calls` (`run_id`,`id`) WHERE state = 'failed';--> statement-breakpoint
CREATE INDEX `calls_answer` ON `calls` (`answer_id`) WHERE answer_id is not null;--> statement-breakpoint
CREATE TABLE `leases` (
	`run_id` integer PRIMARY KEY NOT NULL,
	`token` text NOT NULL,
	`host` text NOT NULL,
	`pid` integer NOT NULL,
	`acquired_at` integer NOT NULL,
	`heartbeat_at` integer NOT NULL,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `perspectives` (
	`id` integer PRIMARY KEY NOT NULL,
	`run_id` integer NOT NULL,
	`position` integer NOT NULL,
	`condition` text NOT NULL,
	`reading` text,
	`strategy` text NOT NULL,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `perspectives_position` ON `perspectives` (`run_id`,`position`);--> statement-breakpoint
CREATE TABLE `runs` (
	`id` integer PRIMARY KEY NOT NULL,
	`public_id` text NOT NULL,
	`name` text,
	`task_type` text NOT NULL,
	`provider` text NOT NULL,
	`model` text NOT NULL,
	`settings_id` integer NOT NULL,
	`base_url` text,
	`base_url_source` text NOT NULL,
	`config` text NOT NULL,
	`input_sha256` text NOT NULL,
	`tool_version` text NOT NULL,
	`git_commit` text,
	`created_at` integer NOT NULL,
	`created_local` text NOT NULL,
	`dataset_name` text NOT NULL,
	`planned_at` integer,
	`finished_at` integer,
	`estimated_prompt_tokens` integer,
	`estimated_completion_tokens` integer,
	`tasks` integer DEFAULT 0 NOT NULL,
	`perspectives` integer DEFAULT 0 NOT NULL,
	`calls_total` integer DEFAULT 0 NOT NULL,
	`calls_succeeded` integer DEFAULT 0 NOT NULL,
	`calls_failed` integer DEFAULT 0 NOT NULL,
	`calls_reused` integer DEFAULT 0 NOT NULL,
	`calls_truncated` integer DEFAULT 0 NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`prompt_tokens` integer DEFAULT 0 NOT NULL,
	`completion_tokens` integer DEFAULT 0 NOT NULL,
	`cached_tokens` integer DEFAULT 0 NOT NULL,
	`reasoning_tokens` integer DEFAULT 0 NOT NULL,
	`tokens_estimated` integer DEFAULT false NOT NULL,
	FOREIGN KEY (`settings_id`) REFERENCES `settings`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `runs_public_id_unique` ON `runs` (`public_id`);--> statement-breakpoint
CREATE INDEX `runs_created` ON `runs` (`created_at`);--> statement-breakpoint
CREATE INDEX `runs_dataset_name` ON `runs` (`dataset_name`);--> statement-breakpoint
CREATE TABLE `settings` (
	`id` integer PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `settings_hash_unique` ON `settings` (`hash`);--> statement-breakpoint
CREATE TABLE `tasks` (
	`id` integer PRIMARY KEY NOT NULL,
	`run_id` integer NOT NULL,
	`position` integer NOT NULL,
	`input_id` integer NOT NULL,
	`reference_id` integer,
	FOREIGN KEY (`run_id`) REFERENCES `runs`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`input_id`) REFERENCES `texts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`reference_id`) REFERENCES `texts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `tasks_position` ON `tasks` (`run_id`,`position`);--> statement-breakpoint
CREATE INDEX `tasks_input` ON `tasks` (`input_id`);--> statement-breakpoint
CREATE INDEX `tasks_reference` ON `tasks` (`reference_id`) WHERE reference_id is not null;--> statement-breakpoint
CREATE TABLE `texts` (
	`id` integer PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`text` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `texts_hash_unique` ON `texts` (`hash`);