package mutants

// houseMutants are bugs in what watches over the sources and the tests: a
// watchman asleep looks just like a quiet night.
func houseMutants() []Mutant {
	archtest, report := []string{"./internal/archtest"}, []string{"./scripts/testreport"}
	return []Mutant{
		{
			Name: "house/unknown-package-accepted", File: "internal/archtest/imports.go", Packages: archtest, Run: "TestImports",
			Old: "\t\tif !ok {\n\t\t\tfound", New: "\t\tif !ok && f.path == \"\" {\n\t\t\tfound",
		},
		{
			Name: "house/import-upwards-accepted", File: "internal/archtest/imports.go", Packages: archtest, Run: "TestImports",
			Old: "if target == pkg || slices.Contains(own.imports, target) {", New: "if target != pkg || slices.Contains(own.imports, target) {",
		},
		{
			Name: "house/library-open-to-all", File: "internal/archtest/imports.go", Packages: archtest, Run: "TestImports",
			Old: "case len(l.importers) > 0 && !within(pkg, l.importers):", New: "case len(l.importers) > 99:",
		},
		{
			Name: "house/test-looks-up", File: "internal/archtest/imports.go", Packages: archtest, Run: "TestImports",
			Old: "if target != pkg && r.reaches(target, pkg, map[string]bool{}) {", New: "if target == pkg {",
		},
		{
			Name: "house/circle-accepted", File: "internal/archtest/imports.go", Packages: archtest, Run: "TestTable",
			Old: "return next == to || r.reaches(next, to, seen)", New: "return next != to && r.reaches(next, to, seen)",
		},
		{
			Name: "house/pure-reads-clock", File: "internal/archtest/pure.go", Packages: archtest, Run: "TestPurity",
			Old: `"Now", `, New: "",
		},
		{
			Name: "house/pure-has-disk", File: "internal/archtest/pure.go", Packages: archtest, Run: "TestImports",
			Old: `"os/...", `, New: "",
		},
		{
			Name: "house/long-file-accepted", File: "internal/archtest/shape.go", Packages: archtest, Run: "TestLength",
			Old: "if s.lines > maxLines {", New: "if s.lines > maxLines+1 {",
		},
		{
			Name: "house/no-package-comment", File: "internal/archtest/shape.go", Packages: archtest, Run: "TestShape",
			Old: "case documented == 0:", New: "case documented < 0:",
		},
		{
			Name: "house/skip-passes", File: "scripts/testreport/report.go", Packages: report,
			Old: "if len(r.skipped) > 0 {", New: "if len(r.skipped) > 1 {",
		},
		{
			Name: "house/no-tests-pass", File: "scripts/testreport/report.go", Packages: report,
			Old: "if r.passed+len(r.failed)+len(r.skipped) == 0 {", New: "if r.passed+len(r.failed)+len(r.skipped) < 0 {",
		},
		{
			Name: "house/dead-process-says-nothing", File: "scripts/testreport/report.go", Packages: report,
			Old: "\t\t\tr.endUnfinished(t.pkg)\n", New: "",
		},
	}
}
