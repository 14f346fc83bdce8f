module github.com/openusm/meter/examples

go 1.26.0

require (
	github.com/openusm/meter v0.0.0
	github.com/openusm/meter/serial v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/creack/pty v1.1.24 // indirect
	github.com/goburrow/serial v0.1.0 // indirect
	go.bug.st/serial v1.8.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)
