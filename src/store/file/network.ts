import { readFileSync, statfsSync, statSync } from "node:fs";

/** A file system as statfs(2) reports it. If its number is that of FUSE, the name of its type tells more. */
export interface FileSystem {
  type: number;
  /** The type in /proc/self/mountinfo, such as `fuse.sshfs`; null if unknown. */
  name: string | null;
}

/**
 * Magic numbers of statfs(2): NFS, SMB, CIFS, SMB2, 9P, AFS, Ceph, Lustre, Coda, VirtualBox and VMware shared folders,
 * GPFS, GFS2, OCFS2, OrangeFS, BeeGFS, PanFS.
 */
const NETWORK_TYPES = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x5346414f, 0x00c36400, 0x0bd00bd0, 0x73757245, 0x786f4256,
  0xbacbacbc, 0x47504653, 0x01161970, 0x7461636f, 0x20030528, 0x19830326, 0xaad7aaea,
]);

/** The number of all file systems of FUSE, including local ones such as NTFS and encrypted folders. */
const FUSE_TYPE = 0x65735546;

/** File systems of FUSE that are on another machine, or on the host of a virtual machine. */
const NETWORK_FUSE =
  /^(virtiofs|fuse\.(sshfs|rclone|s3fs|s3backer|goofys|gcsfuse|geesefs|mount-s3|blobfuse2?|glusterfs|ceph|ceph-fuse|mfs|moosefs|juicefs|seaweedfs|weed|davfs2?|curlftpfs|smbnetfs|gvfsd-fuse|google-drive-ocamlfuse|onedriver|hdfs|fuse_dfs|beegfs|cvmfs2?|vmhgfs-fuse|grpcfuse|osxfs))$/;

/** Whether several machines share a file system, so that SQLite's WAL is not safe there. */
export function isNetwork({ type, name }: FileSystem): boolean {
  // Some systems report the number with a sign.
  const number = type >>> 0;
  return NETWORK_TYPES.has(number) || (number === FUSE_TYPE && name !== null && NETWORK_FUSE.test(name));
}

/** The file system of a folder. */
export function fileSystemOf(folder: string): FileSystem {
  const { type } = statfsSync(folder);
  return { type, name: type >>> 0 === FUSE_TYPE ? nameOf(statSync(folder).dev) : null };
}

/** The type of the file system with a device number; see proc_pid_mountinfo(5). */
function nameOf(device: number): string | null {
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  try {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const mount = mounts.find((line) => line.split(" ", 3)[2] === `${major}:${minor}`);
    return / - (\S+)/.exec(mount ?? "")?.[1] ?? null;
  } catch {
    return null;
  }
}
