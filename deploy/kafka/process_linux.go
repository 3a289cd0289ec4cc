package kafka

import "syscall"

// processAttributes makes the broker a process group of its own that is killed
// when this process dies, however it dies.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
