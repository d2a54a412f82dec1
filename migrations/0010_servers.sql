ALTER TABLE `attempts` ADD `server` text;--> statement-breakpoint
ALTER TABLE `runs` ADD `servers` text;