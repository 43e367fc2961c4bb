package dbtest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// errNoStandby is for servers that cannot have one.
var errNoStandby = errors.New("only a server of StartPostgres has standbys")

// Standby starts a standby of a PostgreSQL server of [StartPostgres], which
// follows it by streaming and answers reads. It may be stopped, killed and
// started too, and ends with the test. Conf are lines of its postgresql.conf,
// over those of the other.
func (s *Server) Standby(conf ...string) *Server {
	s.tb.Helper()
	r, err := s.standby(conf)
	if err != nil {
		skipOrFail(s.tb, s.kind, fmt.Errorf("a standby: %w", err))
	}
	s.tb.Cleanup(r.remove)
	standby := r.server()
	standby.tb, standby.run = s.tb, r
	return &standby
}

func (s *Server) standby(conf []string) (*instance, error) {
	if s.run == nil || s.kind != &postgres {
		return nil, errNoStandby
	}
	program := lookPath("pg_basebackup", filepath.Dir(s.run.programs.server))
	if program == "" {
		return nil, errMissing
	}
	source := fmt.Sprintf("host=%s port=%d user=%s password=%s sslmode=disable", s.Host, s.Port, s.User, s.Password)
	return launchFrom(s.run.template, slices.Concat(s.run.extra, conf), func(r *instance) error {
		return s.run.run(program, "--dbname="+source, "--pgdata="+r.data,
			"--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
	})
}

// Promote makes a standby a server of its own, and waits until it takes writes.
func (s *Server) Promote() {
	s.tb.Helper()
	if err := promote(s); err != nil {
		s.tb.Fatalf("dbtest: promote %s: %v", s.kind.name, err)
	}
}

func promote(s *Server) error {
	if s.run == nil || s.kind != &postgres {
		return errNoStandby
	}
	return within(startLimit, func(ctx context.Context) error {
		// The temporary table fails where it does not write.
		return s.kind.exec(ctx, s, "SELECT pg_promote(true, 60)", "CREATE TEMP TABLE promoted (id int)")
	})
}
