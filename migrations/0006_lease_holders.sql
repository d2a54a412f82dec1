ALTER TABLE `leases` ADD `boot` text;--> statement-breakpoint
ALTER TABLE `leases` ADD `pid_namespace` text;--> statement-breakpoint
ALTER TABLE `leases` ADD `pid_started` text;--> statement-breakpoint
ALTER TABLE `leases` ADD `heartbeat_monotonic` integer;