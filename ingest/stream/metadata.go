package stream

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// maxStoredMetadata is the broker's default offset.metadata.max.bytes. It counts
// UTF-16 units. Over 32,767 bytes the length wraps on the wire and the broker
// accepts garbage without an error, so it is checked here (README, trap 6).
const maxStoredMetadata = 4096

// Every commit carries the id of the topic that its offset belongs to, in front
// of the caller's metadata: "gs1:<32 hex digits>;". The broker itself would take
// an offset of a deleted topic for one of its successor.
const (
	tagPrefix = "gs1:"
	tagIDSize = 32
	tagSize   = len(tagPrefix) + tagIDSize + 1
)

// MaxMetadata is how much metadata a commit can carry, in UTF-16 units (for
// ASCII: bytes).
const MaxMetadata = maxStoredMetadata - tagSize

// tagMetadata puts the topic's id in front.
func tagMetadata(topicID, metadata string) (string, error) {
	units := 0
	for _, r := range metadata {
		units += max(utf16.RuneLen(r), 1)
	}
	if units > MaxMetadata {
		return "", fmt.Errorf("%w: %d UTF-16 units: want at most %d", ErrMetadataTooLong, units, MaxMetadata)
	}
	return tagPrefix + topicID + ";" + metadata, nil
}

// splitMetadata takes the topic's id off again. The id is empty when something
// else made the commit.
func splitMetadata(stored string) (topicID, metadata string) {
	if len(stored) < tagSize || !strings.HasPrefix(stored, tagPrefix) || stored[tagSize-1] != ';' {
		return "", stored
	}
	id := stored[len(tagPrefix) : tagSize-1]
	if strings.Trim(id, "0123456789abcdef") != "" {
		return "", stored
	}
	return id, stored[tagSize:]
}
