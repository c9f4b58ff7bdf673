package smtpd_test

import (
	"fmt"
	"strings"
	"testing"

	"candor/internal/server/smtpd"
)

// BenchmarkData takes messages of 4 KiB, durably, over one connection at a time and over several.
func BenchmarkData(b *testing.B) {
	text := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 52) + ".\r\n"
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients-%d", clients), func(b *testing.B) {
			_, _, addr := newMX(b, smtpd.Options{})
			b.SetParallelism(clients)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c := dial(b, addr)
				c.want("220")
				c.send("EHLO x\r\n")
				c.want("250")
				for pb.Next() {
					c.send("MAIL FROM:<eve@client.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
					c.want("250", "250", "354")
					c.send(text)
					c.want("250")
				}
			})
		})
	}
}
