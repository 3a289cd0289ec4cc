//go:build !linux

package kafka

import "syscall"

// processAttributes makes the broker a process group of its own. Only Linux can
// tie its life to ours.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
