package mysql

import (
	"errors"
	"regexp"
	"strings"
)

// Without a strict mode the server cuts a text that is too long, takes the
// nearest number for one that is out of range and the date 0000-00-00 for one
// that does not exist, and all it has to say is a warning that nobody reads.
const (
	// strictDefault is added to the server's own sql_mode. It has the strict
	// modes in it, those against zero dates and the error of a division by
	// zero. A variable of SET, it costs no round trip.
	strictDefault = "CONCAT(@@sql_mode, ',TRADITIONAL')"
	// strictGlobal is the same for a sql_mode that was asked to be the server's.
	strictGlobal = "CONCAT(@@GLOBAL.sql_mode, ',TRADITIONAL')"
	// strictAdded is added to the sql_mode of a URL, which may leave out zero
	// dates and the like, but cuts nothing.
	strictAdded = "STRICT_ALL_TABLES"
)

var modeNames = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_]*(,[A-Za-z][A-Za-z0-9_]*)*)?$`)

// setSQLMode takes the names of modes.
func setSQLMode(s *settings, value string) error {
	value, _ = unquoted(value)
	if !modeNames.MatchString(value) {
		return errors.New("it is names of modes with commas between them")
	}
	if strings.EqualFold(value, "default") {
		s.cfg.Params["sql_mode"] = "DEFAULT"
		return nil
	}
	s.cfg.Params["sql_mode"] = "'" + strings.ToUpper(value) + "'"
	return nil
}

// setStrict takes false from those who need values changed to what fits.
func setStrict(s *settings, value string) error {
	on, err := parseBool(value)
	s.lenient = !on
	return err
}

// keepStrict makes the mode of each connection a strict one.
func (s *settings) keepStrict() {
	if s.lenient {
		return
	}
	switch mode, given := s.cfg.Params["sql_mode"]; {
	case !given:
		s.cfg.Params["sql_mode"] = strictDefault
	case mode == "DEFAULT":
		s.cfg.Params["sql_mode"] = strictGlobal
	case mode == "''":
		s.cfg.Params["sql_mode"] = "'" + strictAdded + "'"
	case !strings.Contains(mode, "STRICT_") && !strings.Contains(mode, "TRADITIONAL"):
		s.cfg.Params["sql_mode"] = strings.TrimSuffix(mode, "'") + "," + strictAdded + "'"
	}
}
