//go:build unix

package storage

import (
	"os"
	"syscall"
)

// allocated is what a file takes on disk, whatever its length.
func allocated(info os.FileInfo) int64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Blocks * 512
}
