"""What runs inside Locust's process; nothing else imports these modules, which import locust and gevent."""
