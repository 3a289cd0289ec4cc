package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usage is what a process has used since it started.
type usage struct {
	cpu    float64 // seconds, user and system
	merges float64 // of cpu: in the threads that merge in the background
	peak   float64 // MiB of resident memory at the most
}

// ticksPerSecond is the unit of CPU time in /proc, the same on every Linux.
const ticksPerSecond = 100

// mergeThreads is how ClickHouse calls the threads that merge parts.
const mergeThreads = "MergeMutate"

// usageOf reads /proc.
func usageOf(pid int) (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	_, cpu, err := threadCPU(filepath.Join(dir, "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("measure process %d: %w", pid, err)
	}
	u := usage{cpu: cpu, peak: statusMiB(filepath.Join(dir, "status"), "VmHWM")}
	tasks, err := filepath.Glob(filepath.Join(dir, "task", "*", "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("measure threads of process %d: %w", pid, err)
	}
	for _, task := range tasks {
		if name, cpu, err := threadCPU(task); err == nil && name == mergeThreads { // a thread may end meanwhile
			u.merges += cpu
		}
	}
	return u, nil
}

// threadCPU reads the name and the CPU seconds from a stat file: behind the name
// in parentheses, fields 12 and 13 are the ticks in user and system mode.
func threadCPU(path string) (name string, seconds float64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", 0, err
	}
	_, rest, _ := strings.Cut(string(text), "(")
	end := strings.LastIndexByte(rest, ')')
	if end < 0 {
		return "", 0, fmt.Errorf("read %s: no name in it", path)
	}
	fields := strings.Fields(rest[end+1:])
	const user, system = 11, 12
	if len(fields) <= system {
		return "", 0, fmt.Errorf("read %s: %d fields", path, len(fields))
	}
	u, err1 := strconv.ParseFloat(fields[user], 64)
	s, err2 := strconv.ParseFloat(fields[system], 64)
	if err1 != nil || err2 != nil {
		return "", 0, fmt.Errorf("read %s: no CPU time in it", path)
	}
	return rest[:end], (u + s) / ticksPerSecond, nil
}

// machineCPU is what all programs of this machine have used, in seconds: the sum
// of the first line of /proc/stat but for idle and waiting time.
func machineCPU() (float64, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("measure machine: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	const user, idle, waiting, steal = 1, 4, 5, 8
	if len(fields) <= steal {
		return 0, fmt.Errorf("measure machine: %q: want the times of all cores", line)
	}
	var ticks float64
	for i := user; i <= steal; i++ { // behind it are times of guests, which user has in it
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, fmt.Errorf("measure machine: %w", err)
		}
		if i != idle && i != waiting {
			ticks += n
		}
	}
	return ticks / ticksPerSecond, nil
}
