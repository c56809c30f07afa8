package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"

	"github.com/sigstore/fulcio/pkg/ca"
	"github.com/sigstore/fulcio/pkg/ca/baseca"
)

// authority signs the certificates of signers. As in the public instance a root signs an intermediate authority, which
// signs them: a bundle holds the leaf alone, so its verifier must find the intermediate in the trusted root.
type authority struct {
	baseca.BaseCA
	certificates []*x509.Certificate // the intermediate, the root
}

func newAuthority() (*authority, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := template("reseal test root", 1)
	if root, err = certify(root, root, &rootKey.PublicKey, rootKey); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	intermediate := template("reseal test intermediate", 0)
	// Without it, verifiers do not let the authority sign for code.
	intermediate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	if intermediate, err = certify(intermediate, root, &key.PublicKey, rootKey); err != nil {
		return nil, err
	}
	certificates := []*x509.Certificate{intermediate, root}
	return &authority{
		BaseCA:       baseca.BaseCA{SignerWithChain: &ca.SignerCerts{Signer: key, Certs: certificates}},
		certificates: certificates,
	}, nil
}

func template(name string, pathLength int) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		// sigstore-python wants both parts of the name.
		Subject:               pkix.Name{Organization: []string{"reseal tests"}, CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            pathLength,
		MaxPathLenZero:        pathLength == 0,
	}
}

func certify(certificate, parent *x509.Certificate, key *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	certificate.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, certificate, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
