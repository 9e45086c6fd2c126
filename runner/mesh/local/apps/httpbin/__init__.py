"""An httpbin-like service: the second shipped app, and the simplest example of declaring one's own."""
