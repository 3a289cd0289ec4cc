package gateway

import "gatehouse/ingest/event"

// Bounds of a believable time, in µs since the epoch: 1970 to 2200.
const (
	minTime = 0
	maxTime = 7_258_118_400_000_000
)

const (
	microsPerSecond = 1_000_000
	secondsPerDay   = 86_400
)

// moment is a time as read from a record.
type moment struct {
	us     int64 // µs since the epoch
	zoned  bool  // the record says in which zone
	usable bool  // it is a time, between minTime and maxTime
}

func momentAt(us int64, zoned bool) moment {
	return moment{us, zoned, us >= minTime && us < maxTime}
}

// parseTime reads a time in any spelling that gateways use: RFC 3339 with T or
// space, the common log format's, or seconds, milli-, micro- or nanoseconds
// since the epoch, which differ in their number of digits.
func parseTime(v string) moment {
	switch {
	case len(v) >= 19 && v[4] == '-':
		return parseISO(v)
	case len(v) >= 20 && v[2] == '/':
		return parseCLFTime(v)
	}
	return parseEpoch(v)
}

// parseEpoch tells the unit by the number of digits before the point: between
// 1970-04 and 2200 the four units do not overlap.
func parseEpoch(v string) moment {
	whole := 0
	for whole < len(v) && v[whole]-'0' <= 9 {
		whole++
	}
	scale := fromNanos
	switch {
	case whole <= 11:
		scale = fromSeconds
	case whole <= 13:
		scale = fromMillis
	case whole <= 16:
		scale = fromMicros
	}
	us, ok := fixed(v, scale)
	if !ok {
		return moment{}
	}
	return momentAt(us, true)
}

// parseISO reads 2006-01-02T15:04:05 with T, t or space, an optional fraction
// after point or comma, and an optional zone.
func parseISO(v string) moment {
	if len(v) < 19 || v[4] != '-' || v[7] != '-' || v[10]|0x20 != 't' && v[10] != ' ' {
		return moment{}
	}
	year, ok0 := number(v[0:4])
	month, ok1 := number(v[5:7])
	day, ok2 := number(v[8:10])
	if !ok0 || !ok1 || !ok2 {
		return moment{}
	}
	return timeOfDay(date{year, month, day}, v[11:])
}

// parseCLFTime reads 02/Jan/2006:15:04:05 -0700; the zone may be missing and
// the seconds may have a fraction.
func parseCLFTime(v string) moment {
	if len(v) < 20 || v[2] != '/' || v[6] != '/' || v[11] != ':' {
		return moment{}
	}
	day, ok0 := number(v[0:2])
	year, ok1 := number(v[7:11])
	if !ok0 || !ok1 {
		return moment{}
	}
	return timeOfDay(date{year, monthNamed(v[3:6]), day}, v[12:])
}

// timeOfDay reads 15:04:05, fraction and zone, and puts them onto the day.
func timeOfDay(d date, v string) moment {
	if !d.valid() || len(v) < 8 || v[2] != ':' || v[5] != ':' {
		return moment{}
	}
	hour, ok0 := number(v[0:2])
	minute, ok1 := number(v[3:5])
	second, ok2 := number(v[6:8])
	if !ok0 || !ok1 || !ok2 || hour > 23 || minute > 59 || second > 60 {
		return moment{}
	}
	fraction, rest := cutFraction(v[8:])
	offset, zoned, ok := parseZone(rest)
	if !ok {
		return moment{}
	}
	seconds := d.days()*secondsPerDay + int64(hour*3600+minute*60+second-offset)
	return momentAt(seconds*microsPerSecond+fraction, zoned)
}

// cutFraction reads .5 or ,5 as 500,000 µs; digits beyond µs are cut.
func cutFraction(v string) (us int64, rest string) {
	if len(v) == 0 || v[0] != '.' && v[0] != ',' {
		return 0, v
	}
	i, unit := 1, int64(microsPerSecond/10)
	for ; i < len(v) && v[i]-'0' <= 9; i++ {
		us += int64(v[i]-'0') * unit
		unit /= 10
	}
	return us, v[i:]
}

// parseZone reads an offset in seconds: nothing, Z, UTC, GMT, ±hhmm or ±hh:mm.
func parseZone(v string) (offset int, zoned, ok bool) {
	v = trimSpace(v)
	switch v {
	case "":
		return 0, false, true
	case "Z", "z", "UTC", "GMT":
		return 0, true, true
	}
	if len(v) < 5 || len(v) > 6 || v[0] != '+' && v[0] != '-' || len(v) == 6 && v[3] != ':' {
		return 0, false, false
	}
	hours, ok0 := number(v[1:3])
	minutes, ok1 := number(v[len(v)-2:])
	if offset = hours*3600 + minutes*60; v[0] == '-' {
		offset = -offset
	}
	return offset, true, ok0 && ok1 && hours <= 24 && minutes < 60
}

// number reads a few decimal digits.
func number(v string) (n int, ok bool) {
	for i := range len(v) {
		if v[i]-'0' > 9 {
			return 0, false
		}
		n = n*10 + int(v[i]-'0')
	}
	return n, len(v) > 0
}

const monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"

// monthNamed is the number of an English three-letter month, 0 if it is none.
func monthNamed(v string) int {
	for i := 0; i < len(monthNames); i += 3 {
		if monthNames[i:i+3] == v {
			return i/3 + 1
		}
	}
	return 0
}

type date struct{ year, month, day int }

func (d date) valid() bool {
	if d.month < 1 || d.month > 12 || d.day < 1 {
		return false
	}
	switch d.month {
	case 4, 6, 9, 11:
		return d.day <= 30
	case 2:
		leap := d.year%4 == 0 && (d.year%100 != 0 || d.year%400 == 0)
		return d.day <= 28 || leap && d.day == 29
	}
	return d.day <= 31
}

// days since 1970-01-01 in the Gregorian calendar. Counting years from March
// puts the leap day at a year's end.
func (d date) days() int64 {
	y, m := int64(d.year), int64(d.month)
	if m -= 3; m < 0 {
		m += 12
		y--
	}
	const daysTo1970 = 719_468 // from 1 March of year 0
	return y*365 + y/4 - y/100 + y/400 + (153*m+2)/5 + int64(d.day) - 1 - daysTo1970
}

// setTime sets the time of a record that logs when the request began.
func setTime(raw *event.Raw, m moment, n *notes) {
	raw.TS, raw.TSSrc = m.us, event.TimeStart
	if !m.zoned {
		*n |= noteTimeZoneAssumed
	}
}

// setEndTime sets the time of a record that logs when the request was over. Call
// it when LatencyUS is set: with a latency the start is known.
func setEndTime(raw *event.Raw, m moment, n *notes) {
	setTime(raw, m, n)
	if raw.LatencyUS < 0 || raw.LatencyUS > m.us {
		raw.TSSrc = event.TimeEnd
		return
	}
	raw.TS -= raw.LatencyUS
}
