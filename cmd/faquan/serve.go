package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"faquan/internal/config"
	"faquan/internal/telemetry"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the gateways on a data directory, or on a PostgreSQL database",
		Long: `Serve the gateways until SIGTERM or SIGINT: on a data directory, which only one process can use, or with --store on a
PostgreSQL database, which any number of processes share.

The Alipay gateway is at /gateway.do, the TOP gateway at /router/rest and /router/batch; apps get sessions at /authorize
and /token. /livez succeeds while the process runs, /readyz while it takes calls and can issue.
On the first signal /readyz fails at once, and calls are served for --shutdown-drain, so that a load balancer can send
them elsewhere. Then the process takes no more calls, waits for the running ones and closes the store. A second signal
ends it at once, which loses nothing that was answered. A start that fails changes nothing; --apply is its last step.
When the store fails, for example on a disk error, the process exits with 1 at once: its supervisor should start it
again. When the disk is full, or a database fails or moves to another host, the process keeps running, tells callers to
retry, and recovers by itself.

On a database --data holds secret.key, and every process needs the same one: the first start makes it; copy it to the
others. Each process keeps the calls that it refused there too. Put a password in the environment (FAQUAN_STORE,
PGPASSWORD) or in a file (~/.pgpass), because every user of the machine can see arguments.

A clock that is more than a year after the last commit at the start, or that later jumps ahead by more than a day, is
refused: callers are told to retry until it is right. --accept-clock confirms the time that it shows at the start.

Every setting can be given in the --config file (YAML), in the environment and as a flag. Flags win over the
environment, and the environment over the file. --log-level is log.level, or log: {level: …}, in the file and
FAQUAN_LOG_LEVEL in the environment, and so on. Relative paths in the file are relative to it, others to the working
directory. Unknown keys and unknown FAQUAN_ variables are refused.`,
		Example: `  faquan serve --data ./data --listen 127.0.0.1:8080 --apply catalog.yaml
  faquan serve --config /etc/faquan.yaml
  faquan serve --data /etc/faquan --store postgres://faquan@db1:5432,db2:5432/faquan --listen :8080
  FAQUAN_LOG_FORMAT=json faquan serve --tls-cert cert.pem --tls-key key.pem --listen :443`,
		Args: cobra.NoArgs,
	}
	file := cmd.Flags().String("config", os.Getenv(config.FileVariable), "configuration `FILE`, YAML; also "+config.FileVariable)
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	for _, s := range config.Settings() {
		cmd.Flags().String(s.Flag(), s.Default, s.Usage)
	}
	var acceptClock bool
	clockFlag(cmd, &acceptClock)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(*file, os.Environ(), givenSettings(cmd.Flags()))
		if err != nil {
			return err
		}
		log, err := telemetry.NewLogger(cmd.ErrOrStderr(), c.Log.Format, c.Log.Level)
		if err != nil {
			return err
		}
		s, err := startServer(cmd.Context(), c, serverOptions{log: log, acceptClock: acceptClock})
		if err != nil {
			return err
		}
		return s.wait(cmd.Context())
	}
	return cmd
}

// givenSettings returns the settings on the command line, by key.
func givenSettings(flags *pflag.FlagSet) map[string]string {
	given := map[string]string{}
	for _, s := range config.Settings() {
		if flags.Changed(s.Flag()) {
			given[s.Key], _ = flags.GetString(s.Flag())
		}
	}
	return given
}
