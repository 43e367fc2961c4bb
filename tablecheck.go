package echobun

import (
	"errors"
	"fmt"
	"strings"
)

// checkTable returns all that is wrong with a table.
func checkTable(t *Table) []error {
	var errs []error
	if err := checkTableName(t); err != nil {
		errs = append(errs, err)
	}
	if len(t.Columns) == 0 {
		errs = append(errs, errors.New("no columns"))
	}
	names, increments, keys := make(map[string]bool), 0, 0
	for _, c := range t.Columns {
		if err := checkColumn(c); err != nil {
			errs = append(errs, err)
		}
		if names[strings.ToLower(c.Name)] {
			errs = append(errs, fmt.Errorf("column %q stands there twice", c.Name))
		}
		names[strings.ToLower(c.Name)] = true
		if c.AutoIncrement {
			increments++
		}
		if c.PrimaryKey {
			keys++
		}
	}
	if increments > 1 {
		errs = append(errs, errors.New("more than one column with AutoIncrement"))
	}
	if increments == 1 && keys > 1 {
		errs = append(errs, errors.New("AutoIncrement in a composite primary key: SQLite cannot number such rows"))
	}
	return append(errs, checkIndexes(t, names)...)
}

func checkTableName(t *Table) error {
	err := checkName("table", t.Name)
	if t.Schema != "" {
		err = errors.Join(err, checkName("schema", t.Schema))
	}
	return err
}

func checkColumn(c Column) error {
	if err := checkName("column", c.Name); err != nil {
		return err
	}
	switch {
	case !c.Type.valid() && (c.Type.kind == "" || c.Type == SQL("")):
		return fmt.Errorf("column %q has no Type", c.Name)
	case !c.Type.valid():
		return fmt.Errorf("column %q: %s is no type", c.Name, c.Type)
	case c.AutoIncrement && !c.Type.isInteger():
		return fmt.Errorf("column %q: AutoIncrement needs SmallInteger, Integer or BigInteger and not %s", c.Name, c.Type)
	case c.AutoIncrement && !c.PrimaryKey:
		return fmt.Errorf("column %q: AutoIncrement needs PrimaryKey", c.Name)
	}
	return checkReference(c)
}

func checkReference(c Column) error {
	if c.References == "" {
		return nil
	}
	parent, column := splitName(c.References)
	if err := errors.Join(checkQualified(parent), checkName("column", column)); err != nil {
		return fmt.Errorf("column %q: References %q is not \"table.column\": %w", c.Name, c.References, err)
	}
	return nil
}

func checkIndexes(t *Table, columns map[string]bool) []error {
	var errs []error
	names := make(map[string]bool)
	for _, ix := range t.Indexes {
		name := t.indexName(ix)
		if err := checkName("index", name); err != nil {
			errs = append(errs, err)
		}
		if names[strings.ToLower(name)] {
			errs = append(errs, fmt.Errorf("index %q stands there twice", name))
		}
		names[strings.ToLower(name)] = true
		if len(ix.Columns) == 0 {
			errs = append(errs, fmt.Errorf("index %q has no columns", name))
		}
		for _, c := range ix.Columns {
			if !columns[strings.ToLower(c)] {
				errs = append(errs, fmt.Errorf("index %q: the table has no column %q", name, c))
			}
		}
	}
	return errs
}
