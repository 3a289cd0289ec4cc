//go:build !linux

package main

import (
	"errors"
	"syscall"
)

// childAttributes puts a child into a process group of its own, which Ctrl-C does
// not reach.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

var errNoSmallDisk = errors.New("a disk that fills up needs Linux")

func smallDiskAttributes() (*syscall.SysProcAttr, error) { return nil, errNoSmallDisk }

func mountSmallDisk(string, int64) error { return errNoSmallDisk }

func freeBytes(string) (int64, error) { return 0, errNoSmallDisk }
