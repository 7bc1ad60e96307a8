package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"faquan/internal/catalog"
	"faquan/internal/control"
)

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make, show and rotate RSA keys",
		Long: `Two pairs of RSA keys protect the Alipay gateway. An app signs its requests with its private key; faquan knows its
public key from the catalogue. The platform signs its answers with a key of its own, made at the first start; callers
know its public key, which "faquan key show" prints.`,
		Example: `  faquan key new shop                # shop_private.pem and shop_public.pem, for an app
  faquan key show --data ./data      # what callers verify answers by`,
	}
	cmd.AddCommand(newKeyNew(), newKeyShow(), newKeyRotate())
	return cmd
}

func newKeyNew() *cobra.Command {
	var bits int
	var format string
	cmd := &cobra.Command{
		Use:        "new PREFIX",
		SuggestFor: []string{"make", "create", "add", "generate"},
		Short:      "Make a pair for an app",
		Long: `Make an RSA pair for an app: PREFIX_private.pem, which only you can read, and PREFIX_public.pem. Files that exist are
never overwritten. The catalogue names the public one (apps: public_key_file); the app keeps the private one.

The private key is PKCS#8 (BEGIN PRIVATE KEY), as the Java SDK and most tools want it. --format pkcs1 writes PKCS#1
(BEGIN RSA PRIVATE KEY), the form that alipay-sdk for Node.js expects unless it is told keyType: 'PKCS8'.`,
		Example: `  faquan key new shop
  faquan key new shop --format pkcs1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if bits < 2048 || bits > 8192 {
				return usagef("--bits %d is out of range; a key must have 2048 to 8192 bits", bits)
			}
			if format != "pkcs8" && format != "pkcs1" {
				return usagef("format %q is not pkcs8 or pkcs1", format)
			}
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				return err
			}
			private, public := args[0]+"_private.pem", args[0]+"_public.pem"
			if err := writePair(key, format, private, public); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", private, public)
			return err
		},
	}
	cmd.Flags().IntVar(&bits, "bits", 2048, "`SIZE` of the key")
	cmd.Flags().StringVar(&format, "format", "pkcs8", "of the private key: pkcs8 or pkcs1")
	return cmd
}

// writePair writes both halves of a key as PEM, or neither; format is that of the private key, pkcs8 or pkcs1.
func writePair(key *rsa.PrivateKey, format, private, public string) error {
	label, der := "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)
	if format == "pkcs8" {
		label = "PRIVATE KEY"
		var err error
		if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return err
		}
	}
	if err := writeNew(private, label, der); err != nil {
		return err
	}
	if err := writeNew(public, "PUBLIC KEY", publicDER(&key.PublicKey)); err != nil {
		return errors.Join(err, os.Remove(private))
	}
	return nil
}

func writeNew(file, label string, der []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: label, Bytes: der}), f.Close())
}

// publicDER returns the key as PKIX.
func publicDER(key *rsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err) // an RSA key always marshals
	}
	return der
}

func newKeyShow() *cobra.Command {
	var at location
	var format string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the platform's public key",
		Long: `Print the public key by which callers verify the answers of the Alipay gateway: as PEM, and as the bare base64 that
most SDKs and consoles take.`,
		Example: `  faquan key show --data ./data
  faquan key show --data ./data --format base64 > gateway_public.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "pem" && format != "base64" && format != "both" {
				return usagef("format %q is not pem, base64 or both", format)
			}
			return openExisting(cmd.Context(), at, func(p control.Platform) error {
				key, err := control.PublicKey.On(cmd.Context(), p, control.None{})
				if err != nil {
					return err
				}
				if key == nil {
					return errors.New("the platform has no key yet; the first serve makes it")
				}
				return showKey(cmd.OutOrStdout(), key, format)
			})
		},
	}
	locationFlags(cmd, &at)
	cmd.Flags().StringVar(&format, "format", "both", "pem, base64 or both")
	return cmd
}

func showKey(w io.Writer, key *rsa.PublicKey, format string) error {
	der := publicDER(key)
	if format != "base64" {
		if err := pem.Encode(w, &pem.Block{Type: "PUBLIC KEY", Bytes: der}); err != nil {
			return err
		}
	}
	if format != "pem" {
		if _, err := fmt.Fprintln(w, base64.StdEncoding.EncodeToString(der)); err != nil {
			return err
		}
	}
	return nil
}

func newKeyRotate() *cobra.Command {
	var at location
	var file string
	var yes bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the platform's key",
		Long: `Replace the key that signs the answers of the Alipay gateway, and print the public half of the new one.
The new key signs from the next answer on (on a database, in all processes within a second), and there is no overlap:
callers that verify by the old public key refuse every answer until they have the new one. Their vouchers are issued all
the same, so they should retry with the same out_biz_no.

On a terminal it asks first. Elsewhere it needs --yes, and exits with 2 without it.`,
		Example: `  faquan key rotate --data ./data
  faquan key rotate --data ./data --yes --key gateway_private.pem    # in a script, with a key that you made`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := at.mustExist(); err != nil {
				return err
			}
			if !yes { //guard:TestScripts/key$
				if err := confirmRotation(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr(), isTerminal(cmd.InOrStdin())); err != nil {
					return err
				}
			}
			key, err := nextPlatformKey(file)
			if err != nil {
				return err
			}
			return openPlatform(cmd.Context(), at, func(p control.Platform) error {
				if _, err := control.RotateKey.On(cmd.Context(), p, control.PrivateKey{PrivateKey: key}); err != nil {
					return err
				}
				return showKey(cmd.OutOrStdout(), &key.PublicKey, "both")
			})
		},
	}
	locationFlags(cmd, &at)
	clockFlag(cmd, &at.acceptClock)
	cmd.Flags().StringVar(&file, "key", "", "`FILE` with the new private key; generated when left out")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

const rotationBreaks = "callers that verify answers by the old public key (SDKs do) refuse every answer until they have the new one"

// confirmRotation asks on a terminal whether to rotate the platform's key. It returns nil only for yes.
func confirmRotation(ctx context.Context, in io.Reader, out io.Writer, terminal bool) error {
	refused := usagef("key rotate needs --yes when there is no terminal to ask on: %s", rotationBreaks)
	if !terminal {
		return refused
	}
	fmt.Fprintf(out, "After this, %s.\nRotate the platform's key? [y/N] ", rotationBreaks)
	answers := make(chan string, 1)
	go func() {
		answer, err := bufio.NewReader(in).ReadString('\n')
		if err != nil && answer == "" {
			answer = "none"
		}
		answers <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case <-ctx.Done(): // an interrupt
		return ctx.Err()
	case answer := <-answers:
		switch answer {
		case "y", "yes":
			return nil
		case "none":
			return refused
		}
		return errors.New("the key was not rotated")
	}
}

func nextPlatformKey(file string) (*rsa.PrivateKey, error) {
	if file == "" {
		return catalog.NewPlatformKey()
	}
	return readPrivateKey(file)
}
