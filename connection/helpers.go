package connection

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
)

func sorted(words []string) string {
	slices.Sort(words)
	return strings.Join(words, " ")
}

func none(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNone
	}
	return err
}

// credentials are the names of the credentials that the connection uses.
func (s Spec) credentials() []string {
	var out []string
	if n := s.Auth.Name(); n != "" {
		out = append(out, n)
	}
	for _, n := range s.Secrets {
		out = append(out, n)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// credential is the one that its calls are done with, as identity names it.
func (s Spec) credential(connection string) string {
	if all := s.credentials(); len(all) > 0 {
		return connection + "/" + all[0]
	}
	return ""
}
