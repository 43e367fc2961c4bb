package echobun

import "github.com/uptrace/bun/schema"

// inOrder returns the tables of one bind with parents before their children,
// else in the order they came in. Where tables refer to each other in a
// cycle, one of them comes before its parent.
func inOrder(tables []*declared) []*declared {
	parents := parentsOf(tables)
	ordered := make([]*declared, 0, len(tables))
	seen := make(map[*declared]bool, len(tables))

	var visit func(d *declared)
	visit = func(d *declared) {
		if seen[d] {
			return
		}
		seen[d] = true
		for _, parent := range parents[d] {
			visit(parent)
		}
		ordered = append(ordered, d)
	}
	for _, d := range tables {
		visit(d)
	}
	return ordered
}

// parentsOf returns for each table those that it refers to, by a foreign key
// or by one of Bun's relations in either direction.
func parentsOf(tables []*declared) map[*declared][]*declared {
	byName := make(map[string]*declared, len(tables))
	for _, d := range tables {
		byName[d.e.metadata.fold(d.fullName())] = d
	}

	parents := make(map[*declared][]*declared, len(tables))
	add := func(child, parent string) {
		fold := tables[0].e.metadata.fold
		if c, p := byName[fold(child)], byName[fold(parent)]; c != nil && p != nil && c != p {
			parents[c] = append(parents[c], p)
		}
	}
	for _, d := range tables {
		for _, key := range d.foreignKeys(true) {
			add(d.fullName(), key.parent)
		}
		for _, rel := range relations(d.table) {
			addRelation(add, d.fullName(), rel)
		}
	}
	return parents
}

// addRelation adds the order that a relation of the table name asks for.
func addRelation(add func(child, parent string), name string, rel *schema.Relation) {
	switch rel.Type {
	case schema.HasManyRelation:
		add(rel.JoinTable.Name, name)
	case schema.ManyToManyRelation:
		add(rel.M2MTable.Name, name)
		add(rel.M2MTable.Name, rel.JoinTable.Name)
	case schema.HasOneRelation:
		if !rel.References() {
			add(rel.JoinTable.Name, name)
		}
	}
}
