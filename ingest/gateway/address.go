package gateway

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// hostOf takes the port off an address or name: 10.0.0.1:80, [::1]:80, [::1],
// ::1, example.com:80. Sockets that are no network's (unix:, unix:///run/x,
// envoy://internal) have no host.
func hostOf(v string) string {
	if v == "" || v == "-" || v == "unix:" || strings.IndexByte(v, '/') >= 0 {
		return ""
	}
	if v[0] == '[' {
		if end := strings.IndexByte(v, ']'); end > 0 {
			return v[1:end]
		}
		return v
	}
	colon := strings.IndexByte(v, ':')
	if colon < 0 || strings.IndexByte(v[colon+1:], ':') >= 0 {
		return v // no port, or an IPv6 address
	}
	return v[:colon]
}

// hostName is a host as asked for: lower case, without port.
func hostName(v string) string { return lower(hostOf(v)) }

// lower is strings.ToLower, and one look at each byte where that changes nothing,
// as is usual.
func lower(v string) string {
	for i := range len(v) {
		if c := v[i]; c-'A' < 26 || c >= utf8.RuneSelf {
			return strings.ToLower(v)
		}
	}
	return v
}

// isAddress tells that v is an IP address, with or without port and brackets.
func isAddress(v string) bool {
	if len(v) == 0 || hexValue(v[0]) < 0 && v[0] != ':' && v[0] != '[' {
		return false // no address starts so; spares the parse of host names
	}
	_, err := netip.ParseAddr(hostOf(v))
	return err == nil
}

// maxForwarded bounds the hops that are taken from one header.
const maxForwarded = 64

// forwarded appends the hops of X-Forwarded-For, left to right, without ports.
func forwarded(hops []string, v string) []string {
	if v == "" || v == "-" {
		return hops
	}
	for more := true; more && len(hops) < maxForwarded; {
		var hop string
		hop, v, more = strings.Cut(v, ",")
		if hop = hostOf(trimSpace(hop)); hop != "" {
			hops = append(hops, hop)
		}
	}
	return hops
}

// last is the last of several items, "" of none.
func last(items []string) string {
	if len(items) == 0 {
		return ""
	}
	return items[len(items)-1]
}

// allAddresses tells that every item of a comma-separated list is an address.
func allAddresses(v string) bool {
	for more := true; more; {
		var item string
		if item, v, more = strings.Cut(v, ","); !isAddress(trimSpace(item)) {
			return false
		}
	}
	return true
}
