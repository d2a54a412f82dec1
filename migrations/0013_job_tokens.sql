ALTER TABLE `attempts` ADD `job_token` text;--> statement-breakpoint
CREATE INDEX `attempts_job` ON `attempts` (`job_token`) WHERE job_token is not null;