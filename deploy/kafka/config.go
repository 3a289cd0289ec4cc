package kafka

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
)

// config is server.properties. Timings are set so that tests need not wait: a
// broker that was killed is believed dead after a second, and log cleaning and
// retention run every second.
func (b *Broker) config() []byte {
	p := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  strconv.Itoa(b.member.node),
		"controller.quorum.voters":                 b.member.voters,
		"controller.listener.names":                "CONTROLLER",
		"listeners":                                fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://%s", b.Addr(), loopback(b.ports.controller)),
		"advertised.listeners":                     "PLAINTEXT://" + b.Addr(),
		"listener.security.protocol.map":           "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                 filepath.Join(b.opts.Dir, "data"),
		"offsets.topic.replication.factor":         "1",
		"offsets.topic.num.partitions":             "4",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"transaction.state.log.num.partitions":     "4",
		"group.initial.rebalance.delay.ms":         "0",
		"group.min.session.timeout.ms":             "1000",
		"auto.create.topics.enable":                "false",
		"controlled.shutdown.enable":               "false",
		"broker.session.timeout.ms":                "1000",
		"broker.heartbeat.interval.ms":             "200",
		"num.network.threads":                      "2",
		"num.io.threads":                           "4",
		"log.retention.check.interval.ms":          "1000",
		"log.initial.task.delay.ms":                "1000",
		"log.cleaner.backoff.ms":                   "1000",
		"log.segment.delete.delay.ms":              "1000",
	}
	if b.member.nodes > 1 {
		maps.Copy(p, clusterConfig(b.member.nodes))
	}
	if b.opts.Secure != nil {
		maps.Copy(p, b.secureConfig())
	}
	maps.Copy(p, b.opts.Properties)
	var out bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&out, "%s=%s\n", key, p[key])
	}
	return out.Bytes()
}

// clusterConfig is what differs where there are several nodes: everything is on
// all of them and one may be missing. The session is longer than with one node,
// since the nodes of a test share a machine and are late at times.
func clusterConfig(nodes int) map[string]string {
	all, most := strconv.Itoa(nodes), strconv.Itoa(nodes/2+1)
	return map[string]string{
		"default.replication.factor":               all,
		"min.insync.replicas":                      most,
		"offsets.topic.replication.factor":         all,
		"transaction.state.log.replication.factor": all,
		"transaction.state.log.min.isr":            most,
		"broker.session.timeout.ms":                "1500",
	}
}

func (b *Broker) secureConfig() map[string]string {
	listeners := fmt.Sprintf("PLAINTEXT://%s,SECURE://%s,MUTUAL://%s", b.Addr(), b.SecureAddr(), b.MutualAddr())
	p := map[string]string{
		"listeners":                      fmt.Sprintf("%s,CONTROLLER://%s", listeners, loopback(b.ports.controller)),
		"advertised.listeners":           listeners,
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL",
		"ssl.keystore.type":              "PEM",
		"ssl.keystore.location":          b.certs.server,
		"ssl.truststore.type":            "PEM",
		"ssl.truststore.location":        b.certs.ca,

		"listener.name.mutual.ssl.client.auth":         "required",
		"listener.name.secure.ssl.client.auth":         "none",
		"listener.name.secure.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"listener.name.secure.plain.sasl.jaas.config": fmt.Sprintf(
			"org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=\"%s\";", b.opts.Secure.User, b.opts.Secure.Password),
	}
	for _, mechanism := range []string{"scram-sha-256", "scram-sha-512"} {
		p["listener.name.secure."+mechanism+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	}
	return p
}
