package traffic

import (
	"strconv"

	"gatehouse/ingest/event"
)

// The hosts, each behind a gateway of its own.
const (
	hostAPI     = "api.shop.example"
	hostWeb     = "www.shop.example"
	hostPay     = "pay.shop.example"
	hostPartner = "partner.shop.example"
	hostSearch  = "search.shop.example"
)

// Fleet is the gateway that stands before a host of the scenario: what
// Config.Gateway "" puts into Raw.Gateway.
func Fleet(host string) string {
	switch host {
	case hostAPI:
		return "kong"
	case hostPay:
		return "traefik"
	case hostPartner:
		return "envoy"
	case hostSearch:
		return "nginx"
	}
	return "clf"
}

// route is what the calls of one operation have in common.
type route struct {
	method, host, service string
	status                int
	latency, bytes        float64 // median µs and response bytes
}

// The operations. Paths are made by who calls them.
var (
	routeMe         = route{"GET", hostAPI, "users", 200, 14e3, 900}
	routeUser       = route{"GET", hostAPI, "users", 200, 16e3, 1100}
	routeAccount    = route{"GET", hostAPI, "accounts", 200, 22e3, 1300}
	routeStatement  = route{"GET", hostAPI, "accounts", 200, 60e3, 9000}
	routeOrder      = route{"GET", hostAPI, "orders", 200, 25e3, 2400}
	routeOrders     = route{"GET", hostAPI, "orders", 200, 48e3, 7600}
	routeOrderNew   = route{"POST", hostAPI, "orders", 201, 95e3, 800}
	routeCustomer   = route{"GET", hostAPI, "customers", 200, 20e3, 1200}
	routeNotes      = route{"GET", hostAPI, "notifications", 200, 9e3, 350}
	routeCart       = route{"PUT", hostAPI, "cart", 200, 30e3, 1500}
	routeCartDrop   = route{"DELETE", hostAPI, "cart", 204, 24e3, 120}
	routeExport     = route{"GET", hostAPI, "accounts", 200, 180e3, 44000}
	routeHealth     = route{"GET", hostAPI, "health", 200, 900, 60}
	routePayment    = route{"GET", hostPay, "payments", 200, 28e3, 1000}
	routePaymentNew = route{"POST", hostPay, "payments", 201, 240e3, 700}
	routeCard       = route{"GET", hostPay, "cards", 200, 26e3, 600}
	routeSearch     = route{"GET", hostSearch, "search", 200, 70e3, 12000}
	routePartner    = route{"GET", hostPartner, "products", 200, 35e3, 5200}
	routeProduct    = route{"GET", hostWeb, "products", 200, 19e3, 6400}
	routeStatic     = route{"GET", hostWeb, "static", 200, 1200, 38000}
	routePage       = route{"GET", hostWeb, "pages", 200, 12e3, 15000}
	routeLogin      = route{"POST", hostWeb, "login", 200, 130e3, 1800}
)

// at fills in a call of the operation to a path.
func (o *route) at(r *event.Raw, d dice, path string) {
	r.Method, r.Host, r.Service, r.Status = o.method, o.host, o.service, o.status
	r.Path = path
	r.LatencyUS = max(d.logNormal(o.latency, 0.5), 300)
	r.UpstreamLatencyUS = r.LatencyUS * 95 / 100
	r.RespBytes = max(d.logNormal(o.bytes, 0.4), 40)
	r.ReqBytes = 220 + int64(d.IntN(400))
	if o.method == "POST" || o.method == "PUT" {
		r.ReqBytes += d.logNormal(600, 0.6)
	}
}

// refuse turns the call into one that ends with an error status: a short body,
// quickly. Statuses the gateway decides itself never reach an upstream.
func refuse(r *event.Raw, d dice, status int) {
	r.Status = status
	r.RespBytes = 140 + int64(d.IntN(60))
	r.LatencyUS = max(d.logNormal(4e3, 0.5), 300)
	r.UpstreamLatencyUS = r.LatencyUS * 8 / 10
	if status == 401 || status == 429 {
		r.UpstreamLatencyUS = event.Absent
	}
}

// finish adds what depends on the scenario and not on the caller: the gateway,
// the request id, the backend and whether a deployment is going wrong.
func (w *world) finish(r *event.Raw, who int) {
	r.Gateway = w.cfg.Gateway
	if r.Gateway == "" {
		r.Gateway = Fleet(r.Host)
	}
	h := mix(mix(w.cfg.Seed^uint64(r.TS)) + uint64(who))
	if w.blip.holds(r.TS) && r.Host == hostAPI && h%10 < 4 && r.Status < 300 {
		r.Status, r.RespBytes = 502+int(h>>8%2), 180
	}
	r.RequestID = requestID(h)
	if r.UpstreamLatencyUS != event.Absent {
		r.UpstreamStatus = r.Status
		r.Upstream = backend(r.Service, h)
	}
	if r.Peer == "" {
		r.Peer = r.Client
	}
	r.TLSVersion = "TLSv1.3"
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func requestID(h uint64) string {
	const digits = "0123456789abcdef"
	var b [32]byte
	lo, hi := h, mix(h)
	for i := range 16 {
		b[i], b[16+i] = digits[lo&15], digits[hi&15]
		lo, hi = lo>>4, hi>>4
	}
	return string(b[:])
}

// replicas per service.
const replicas = 3

// backend is one of the replicas behind a service.
func backend(service string, h uint64) string {
	n := 10
	for i := range len(service) {
		n += int(service[i])
	}
	return "10.20." + strconv.Itoa(n%200) + "." + strconv.Itoa(10+int(h>>16%replicas)) + ":8080"
}

// catalogue is what the shop sells: paths and search words, each as often in its
// list as it is popular (Zipf), so that one draw picks by popularity.
type catalogue struct {
	products, searches []string
}

// Sizes of the catalogue.
const (
	productCount  = 1500
	firstProduct  = 3000
	popularity    = 8192 // entries in the lists
	zipfExponent  = 1.15
	zipfOffset    = 4
	deadPerSearch = 50 // one search in so many finds nothing
)

func newCatalogue(d dice) catalogue {
	words := []string{
		"lamp", "desk", "chair", "kettle", "teapot", "blanket", "bookshelf", "rug", "mirror", "clock", "vase",
		"garden+hose", "bike+light", "tent", "backpack", "notebook", "pen", "headphones", "usb+cable", "speaker",
	}
	zp := newZipf(d, productCount)
	zw := newZipf(d, len(words))
	c := catalogue{products: make([]string, popularity), searches: make([]string, popularity)}
	for i := range popularity {
		c.products[i] = "/v1/products/" + strconv.Itoa(firstProduct+zp())
		c.searches[i] = "q=" + words[zw()] + "&page=" + strconv.Itoa(1+d.IntN(3))
	}
	return c
}
