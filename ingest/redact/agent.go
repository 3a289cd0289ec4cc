package redact

import "strings"

// agentFamily is the browser, library or bot that a User-Agent names, without
// its version: a word of a small vocabulary or the plain first product name, and
// "other" where there is none.
func agentFamily(agent string) string {
	if agent == "" {
		return ""
	}
	product, _, _ := strings.Cut(agent, "/")
	product, _, _ = strings.Cut(product, " ")
	if name, ok := agentNames[lower(product)]; ok {
		return name
	}
	if name := wordsFamily(agent); name != "" {
		return name
	}
	const longest = 32
	if len(product) > longest || product == "" || !isAlpha(product[0]) || !CheckWord.keeps(product) {
		return "other"
	}
	return product
}

// agentNames are products that stand first, in lower case, and their names.
var agentNames = map[string]string{
	"curl": "curl", "wget": "Wget", "python-requests": "python-requests", "python-urllib": "Python-urllib", "python-httpx": "python-httpx",
	"aiohttp": "aiohttp", "python": "Python", "go-http-client": "Go-http-client", "okhttp": "okhttp", "java": "Java",
	"apache-httpclient": "Apache-HttpClient", "axios": "axios", "node-fetch": "node-fetch", "node": "Node.js", "undici": "undici", "got": "got",
	"postmanruntime": "PostmanRuntime", "insomnia": "Insomnia", "httpie": "HTTPie", "ruby": "Ruby", "faraday": "Faraday", "guzzlehttp": "GuzzleHttp",
	"libwww-perl": "libwww-perl", "dart": "Dart", "reqwest": "reqwest", "hyper": "hyper", "grpc-go": "grpc-go", "grpc-java": "grpc-java",
	"kube-probe": "kube-probe", "elb-healthchecker": "ELB-HealthChecker", "googlehc": "GoogleHC", "prometheus": "Prometheus", "k6": "k6",
	"apachebench": "ApacheBench", "sqlmap": "sqlmap", "nikto": "Nikto", "nmap": "Nmap", "masscan": "masscan", "zgrab": "zgrab", "nuclei": "Nuclei",
	"gobuster": "gobuster", "ffuf": "ffuf", "dirbuster": "DirBuster", "feroxbuster": "feroxbuster", "wpscan": "WPScan",
}

// browserWords are words inside a User-Agent, by what they count against each
// other: a Chrome says that it is also a Safari, and an Edge that it is a Chrome.
var browserWords = map[string]struct {
	name string
	rank int
}{
	"edg": {"Edge", 9}, "edge": {"Edge", 9}, "edga": {"Edge", 9}, "edgios": {"Edge", 9}, "opr": {"Opera", 9}, "opios": {"Opera", 9},
	"samsungbrowser": {"Samsung Internet", 9}, "yabrowser": {"Yandex", 9}, "vivaldi": {"Vivaldi", 9}, "ucbrowser": {"UC Browser", 9},
	"headlesschrome": {"HeadlessChrome", 9}, "electron": {"Electron", 9}, "duckduckgo": {"DuckDuckGo", 9}, "iceweasel": {"Firefox", 8},
	"firefox": {"Firefox", 7}, "fxios": {"Firefox", 7}, "crios": {"Chrome", 6}, "chrome": {"Chrome", 6}, "chromium": {"Chrome", 6},
	"opera": {"Opera", 8}, "msie": {"Internet Explorer", 5}, "trident": {"Internet Explorer", 5}, "safari": {"Safari", 4},
}

// wordsFamily looks for the browser or bot in a User-Agent, word by word.
func wordsFamily(agent string) string {
	best, rank := "", 0
	var low [16]byte
	for i := 0; i < len(agent); {
		start := i
		for i < len(agent) && (isAlnum(agent[i]) || agent[i] == '-' || agent[i] == '_') {
			i++
		}
		word := agent[start:i]
		i++
		switch {
		case len(word) < len("edg"):
		case isBot(word):
			return word
		case len(word) <= len(low):
			for j := range len(word) {
				low[j] = word[j] | 0x20
			}
			if b := browserWords[string(low[:len(word)])]; b.rank > rank {
				best, rank = b.name, b.rank
			}
		}
	}
	return best
}

// isBot says whether a word is the name of a crawler.
func isBot(word string) bool {
	const longest = 32
	if len(word) > longest || !isAlpha(word[0]) {
		return false
	}
	for _, end := range [...]string{"bot", "crawler", "spider", "slurp", "fetcher", "scanner"} {
		if n := len(word) - len(end); n >= 0 && strings.EqualFold(word[n:], end) {
			return CheckWord.keeps(word)
		}
	}
	return false
}
