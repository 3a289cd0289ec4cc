package kafka

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates are the files of an authority made for one broker.
type certificates struct {
	ca                    string
	server                string // key and certificate in one file, as Kafka wants them
	clientCert, clientKey string
}

// lifetime of the certificates: longer than any test.
const lifetime = 24 * time.Hour

// identity is a key with its certificate.
type identity struct {
	cert *x509.Certificate
	der  []byte
	key  *ecdsa.PrivateKey
}

// makeCertificates writes an authority, a server and a client certificate to dir.
func makeCertificates(dir string) (certificates, error) {
	c := certificates{
		ca: filepath.Join(dir, "ca.pem"), server: filepath.Join(dir, "server.pem"),
		clientCert: filepath.Join(dir, "client.pem"), clientKey: filepath.Join(dir, "client-key.pem"),
	}
	ca, err := issue(nil, "gatehouse test authority")
	if err != nil {
		return c, err
	}
	server, err := issue(ca, "broker")
	if err != nil {
		return c, err
	}
	client, err := issue(ca, "client")
	if err != nil {
		return c, err
	}
	serverKey, err := server.keyPEM()
	if err != nil {
		return c, err
	}
	clientKey, err := client.keyPEM()
	if err != nil {
		return c, err
	}
	for path, text := range map[string][]byte{
		c.ca: ca.certPEM(), c.server: bytes.Join([][]byte{serverKey, server.certPEM()}, nil),
		c.clientCert: client.certPEM(), c.clientKey: clientKey,
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return c, fmt.Errorf("write certificate: %w", err)
		}
	}
	return c, nil
}

// issue makes a certificate for loopback, signed by parent or by itself.
func issue(parent *identity, name string) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		BasicConstraintsValid: true,
	}
	id := &identity{cert: template, key: key}
	if parent == nil {
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		parent = id
	}
	if id.der, err = x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	if id.cert, err = x509.ParseCertificate(id.der); err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return id, nil
}

func (id *identity) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.der})
}

func (id *identity) keyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
