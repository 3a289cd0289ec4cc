// Package rules is detection rules as data: it reads, checks and compiles them.
//
// A rule is one YAML file for the state (what to group by, over which window,
// what to measure) whose predicates are written in the expr language. This
// package turns a folder of such files into a [Set]; package detect runs it.
// README.md is the manual of the language.
//
// Rules are data that somebody else may have written, so nothing in them can be
// unbounded: sources and syntax trees are limited, built-in functions come from
// an allow-list, regular expressions are constants, there are no ranges and no
// nested predicates. Every refusal names file, line and column, what was
// expected, and the nearest valid name.
//
// The package has no clock and keeps no state between events. A [Machine]
// evaluates expressions for one event at a time and belongs to one goroutine.
package rules
