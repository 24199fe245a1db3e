package mutants

import (
	"slices"
	"strings"
)

// Catalog returns every planted bug that the suite must catch, area by area.
// An area is a file of this package with a function that joins the others
// here. Every real bug that is found later leaves a mutant behind.
func Catalog() []Mutant {
	return slices.Concat(
		merkleMutants(),
		houseMutants(),
		ringMutants(),
		replicationMutants(), shippingMutants(),
		storageMutants(),
		simMutants(),
		writeMutants(),
		readMutants(),
	)
}

// Area returns the mutants of the catalog whose names begin with area and a slash.
func Area(area string) []Mutant {
	return slices.DeleteFunc(Catalog(), func(m Mutant) bool { return !strings.HasPrefix(m.Name, area+"/") })
}
