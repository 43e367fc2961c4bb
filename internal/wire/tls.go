package wire

import (
	"crypto/tls"
	"crypto/x509"
)

// GuardedTLS returns a configuration whose callbacks return, with an error if
// they panic or end their goroutine. Drivers call them on goroutines of their
// own too, where a panic would end the process, and with a connection open
// that nobody would close.
func GuardedTLS(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	if verify := c.VerifyPeerCertificate; verify != nil {
		c.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			return Apart("TLS.VerifyPeerCertificate", func() error { return verify(raw, chains) })
		}
	}
	if verify := c.VerifyConnection; verify != nil {
		c.VerifyConnection = func(state tls.ConnectionState) error {
			return Apart("TLS.VerifyConnection", func() error { return verify(state) })
		}
	}
	if get := c.GetClientCertificate; get != nil {
		c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (cert *tls.Certificate, err error) {
			err = Apart("TLS.GetClientCertificate", func() (err error) {
				cert, err = get(info)
				return err
			})
			return cert, err
		}
	}
	return c
}
