module github.com/openusm/meter/mapping/iec104

go 1.26.0

require (
	github.com/stretchr/testify v1.12.1
	github.com/thinkgos/go-iecp5 v1.2.1
)

require (
	github.com/openusm/meter v0.0.0
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
