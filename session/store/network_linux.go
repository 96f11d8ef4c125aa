package store

import "golang.org/x/sys/unix"

// networkFileSystems are the magic numbers of statfs(2) for file systems whose
// locks or renames other machines take part in.
var networkFileSystems = map[uint32]string{
	unix.NFS_SUPER_MAGIC:  "NFS",
	unix.CIFS_SUPER_MAGIC: "CIFS",
	unix.SMB2_SUPER_MAGIC: "SMB",
	unix.SMB_SUPER_MAGIC:  "SMB",
	unix.AFS_SUPER_MAGIC:  "AFS",
	unix.CEPH_SUPER_MAGIC: "Ceph",
}

// networkFileSystem returns the kind of network file system that dir is on, or
// "" for a local one and where it is unknown.
func networkFileSystem(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return ""
	}
	return networkFileSystems[uint32(s.Type)]
}
