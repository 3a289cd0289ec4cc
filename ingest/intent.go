package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gatehouse/ingest/event"
)

// intent is the declaration of a batch in the metadata of an offset commit:
// which range is about to be stored, and under which token. It is written before
// the batch is stored and read by whoever owns the partition next.
type intent struct {
	topicID     string
	first, last int64
	token       string
	normalizer  string // what made events of the records
}

// Normalizer is the version of what a record becomes. It is raised whenever
// decoding or redaction makes other events of the same record, so that the log
// tells why a batch that was declared by one version and replayed by another
// differs from its neighbours. The token keeps whichever was stored first.
const Normalizer = "1"

// intentVersion names the written form. A newer version of Gatehouse that needs
// more takes a new name, and this one then refuses it instead of guessing.
const intentVersion = "gh2"

// maxIntent is below the broker's offset.metadata.max.bytes of 4,096.
const maxIntent = 256

func intentOf(r event.Range) intent {
	return intent{topicID: r.TopicID, first: r.First, last: r.Last, token: r.Token(), normalizer: Normalizer}
}

// String is the written form: version;topic id;first;last;token;normalizer.
func (i intent) String() string {
	return fmt.Sprintf("%s;%s;%d;%d;%s;%s", intentVersion, i.topicID, i.first, i.last, i.token, i.normalizer)
}

var errIntent = errors.New("offset metadata is no declaration of this version of gatehouse: " +
	"the consumer group is used by something else or by a newer version; choose another kafka.group")

// parseIntent reads the metadata of a commit. Empty metadata is no intent: the
// batch before was acknowledged.
func parseIntent(s string) (i intent, declared bool, err error) {
	if s == "" {
		return intent{}, false, nil
	}
	parts := strings.Split(s, ";")
	if len(s) > maxIntent || len(parts) != 6 || parts[0] != intentVersion {
		return intent{}, false, errIntent
	}
	i.topicID, i.token, i.normalizer = parts[1], parts[4], parts[5]
	var errFirst, errLast error
	i.first, errFirst = strconv.ParseInt(parts[2], 10, 64)
	i.last, errLast = strconv.ParseInt(parts[3], 10, 64)
	if errFirst != nil || errLast != nil || i.first < 0 || i.last < i.first || len(i.token) != 32 {
		return intent{}, false, errIntent
	}
	return i, true, nil
}
