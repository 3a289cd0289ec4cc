package redact

import (
	"net/netip"
	"strings"

	"gatehouse/ingest/event"
)

// host is a host name in lower case without its port, or "" where v is none.
func (s *scratch) host(v string) string {
	if v == "" || s.hosts.has(v) && v[len(v)-1] != '.' && anyOf(v)&classUpper == 0 {
		return v // as decoders give it
	}
	name, _ := splitPort(strings.TrimSpace(v))
	name = lower(strings.TrimSuffix(name, "."))
	if !s.isHost(name) {
		s.notes |= noteHostInvalid
		return ""
	}
	return name
}

// splitPort parts "host:port" and "[v6]:port"; an address keeps its brackets.
func splitPort(v string) (name, port string) {
	i := strings.LastIndexByte(v, ':')
	if i < 0 || !allOf(v[i+1:], classDigit) || len(v)-i > len(":65535") {
		return v, ""
	}
	if name := v[:i]; strings.IndexByte(name, ':') < 0 || strings.HasSuffix(name, "]") {
		return name, v[i+1:]
	}
	return v, ""
}

// isHost says whether v is a host name or an address in brackets or without, and
// hides no secret of a known kind. Names that look random are usual in clouds.
func (s *scratch) isHost(v string) bool {
	if s.hosts.has(v) {
		return true
	}
	ok := isHost(v)
	if ok {
		s.hosts.add(v)
	}
	return ok
}

func isHost(v string) bool {
	if len(v) > event.MaxHost || v == "" {
		return false
	}
	if strings.IndexByte(v, ':') >= 0 {
		_, err := netip.ParseAddr(strings.Trim(v, "[]"))
		return err == nil
	}
	return allOf(v, classHost) && findKnown(v).end == 0
}

// addr reads an address, with or without port, brackets and zone.
func addr(v string) (netip.Addr, bool) {
	if ip, ok := parse4(v); ok {
		return ip, true
	}
	if v = strings.TrimSpace(v); v == "" {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(strings.Trim(v, "[]"))
	if err != nil {
		name, _ := splitPort(v)
		if ip, err = netip.ParseAddr(strings.Trim(name, "[]")); err != nil {
			return netip.Addr{}, false
		}
	}
	return ip.Unmap().WithZone(""), true
}

// parse4 reads an IPv4 address that is nothing else, as most are.
func parse4(v string) (netip.Addr, bool) {
	const longest = len("255.255.255.255")
	if len(v) > longest {
		return netip.Addr{}, false
	}
	var quad [4]byte
	field, value, digits := 0, 0, 0
	for i := range len(v) {
		switch c := v[i]; {
		case c-'0' <= 9 && (digits == 0 || value > 0):
			value = value*10 + int(c-'0')
			digits++
		case c == '.' && digits > 0 && field < 3:
			quad[field] = byte(value)
			field, value, digits = field+1, 0, 0
		default:
			return netip.Addr{}, false
		}
		if value > 255 {
			return netip.Addr{}, false
		}
	}
	quad[field] = byte(value)
	return netip.AddrFrom4(quad), field == 3 && digits > 0
}

// client writes ClientIP or ClientHost, PeerIP and XFF.
func (s *scratch) client(raw *event.Raw) {
	if ip, ok := addr(raw.Client); ok {
		s.e.ClientIP = ip
	} else if raw.Client != "" {
		if name := lower(strings.TrimSuffix(strings.TrimSpace(raw.Client), ".")); isHost(name) {
			s.e.ClientHost = name
		} else {
			s.notes |= noteClientInvalid
		}
	}
	if ip, ok := addr(raw.Peer); ok {
		s.e.PeerIP = ip
	} else if raw.Peer != "" {
		s.notes |= noteClientInvalid
	}
	if len(raw.XFF) > 0 {
		s.forwarded(raw.XFF)
	}
}

func (s *scratch) forwarded(hops []string) {
	if len(hops) > event.MaxXFF {
		s.notes |= noteListCut
		hops = hops[:event.MaxXFF]
	}
	ips := s.hops.take(len(hops))[:0]
	for _, hop := range hops {
		if ip, ok := addr(hop); ok {
			ips = append(ips, ip)
		} else {
			s.notes |= noteXFFInvalid
		}
	}
	if len(ips) > 0 {
		s.e.XFF = ips
	}
}
