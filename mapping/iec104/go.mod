module github.com/openusm/meter/mapping/iec104

go 1.26.0

require github.com/thinkgos/go-iecp5 v1.2.1
