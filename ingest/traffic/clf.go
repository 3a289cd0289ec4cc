package traffic

import (
	"strconv"
	"time"

	"gatehouse/ingest/event"
)

const clfTime = "02/Jan/2006:15:04:05 -0700"

// clfLine writes the combined format of Apache and NGINX. The time is that of
// the response, in whole seconds; the user name is the only identity; no option
// adds a credential, for the format has no place for one.
func clfLine(l *line, r *event.Raw, _ Option) {
	l.b = append(l.b, r.Client...)
	l.b = append(l.b, " - "...)
	l.clf(r.Principal)
	l.b = append(l.b, " ["...)
	l.b = time.UnixMicro(r.TS+max(r.LatencyUS, 0)).UTC().AppendFormat(l.b, clfTime)
	l.b = append(l.b, `] "`...)
	l.b = append(l.b, r.Method...)
	l.b = append(l.b, ' ')
	l.clfQuoted(r.Path)
	if r.Query != "" {
		l.b = append(l.b, '?')
		l.clfQuoted(r.Query)
	}
	l.b = append(l.b, ' ')
	l.b = append(l.b, protocol(r)...)
	l.b = append(l.b, `" `...)
	l.b = strconv.AppendInt(l.b, int64(r.Status), 10)
	l.b = append(l.b, ' ')
	l.b = strconv.AppendInt(l.b, bodyBytes(r, r.RespBytes), 10)
	l.b = append(l.b, ` "`...)
	l.clf(r.Referer)
	l.b = append(l.b, `" "`...)
	l.clf(r.UserAgent)
	l.b = append(l.b, '"')
}

// clf appends a value, or "-" when there is none.
func (l *line) clf(v string) {
	if v == "" {
		l.b = append(l.b, '-')
		return
	}
	l.clfQuoted(v)
}

// clfQuoted appends a value with quotes and control characters escaped as NGINX
// and Apache 2.4 do.
func (l *line) clfQuoted(v string) {
	const digits = "0123456789ABCDEF"
	for i := range len(v) {
		c := v[i]
		if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			l.b = append(l.b, '\\', 'x', digits[c>>4], digits[c&15])
			continue
		}
		l.b = append(l.b, c)
	}
}
