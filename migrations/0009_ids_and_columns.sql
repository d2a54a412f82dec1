-- The views have the ids that inputs have in their files.
-- views 7357239a042b782d
ALTER TABLE `runs` ADD `sources` text;--> statement-breakpoint
ALTER TABLE `tasks` ADD `source_id` blob;--> statement-breakpoint
ALTER TABLE `tasks` ADD `columns` text;