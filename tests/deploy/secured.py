"""Kafka behind SASL_SSL, SCRAM and ACLs; Redis behind TLS and a user; certificates of a day."""

import subprocess

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.kafka_server import KafkaServer
from tests.processes import free_ports
from tests.redis_server import RedisServer

USER = "anomaly-worker"
REDIS_RULES = "+@read +@write +@scripting +@connection +info +config|get +time +cluster|slots"

KAFKA_PROPERTIES = """
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={keys}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class Certificates:
    """An authority, and a server's key and certificate for localhost."""

    def __init__(self, folder):
        self.authority, self.key = folder / "ca.pem", folder / "server.key"
        self.certificate, self.both = folder / "server.pem", folder / "both.pem"
        make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj"]
        _openssl(*make, "/CN=throw-away authority", "-keyout", folder / "ca.key",
                 "-out", self.authority)  # fmt: skip
        _openssl(*make, "/CN=localhost", "-keyout", self.key, "-out", self.certificate,
                 "-CA", self.authority, "-CAkey", folder / "ca.key",
                 "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip
        self.both.write_text(self.key.read_text() + self.certificate.read_text())


def _openssl(*arguments):
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


class SecuredKafka(KafkaServer):
    """`secured`: the guarded address; `bootstrap`: the tests' own, where everything is allowed."""

    def __init__(self, folder, home, certificates, password):
        (port,) = free_ports(1)
        self.secured, self._password = f"localhost:{port}", password
        self._certificates = certificates
        super().__init__(folder, home)

    def _format(self):
        values = dict(line.split("=", 1) for line in self._config.read_text().splitlines())
        own = KAFKA_PROPERTIES.format(
            keys=self._certificates.both, authority=self._certificates.authority
        )
        values["listeners"] += f",SASL_SSL://127.0.0.1:{self.secured.rpartition(':')[2]}"
        values["advertised.listeners"] += f",SASL_SSL://{self.secured}"
        values.pop("listener.security.protocol.map")
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        self._config.write_text(text + own)
        super()._format()

    def storage_options(self):
        return ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={self._password}]"]

    def allow(self, inputs, out, group):
        """The rights of deploy/SECURITY.md, and no more."""
        topic, any_topic = ResourceType.TOPIC, ResourcePatternType.LITERAL
        read, write = AclOperation.READ, AclOperation.WRITE
        describe = AclOperation.DESCRIBE
        wanted = [(topic, name, any_topic, (read, describe)) for name in (inputs, f"{out}.redrive")]
        for suffix in ("", ".scores", ".dlq", ".ledger"):
            operations = (write, describe, AclOperation.DESCRIBE_CONFIGS)
            wanted.append((topic, f"{out}{suffix}", any_topic, operations))
        for suffix in (".redrive", ".ranking", ".votes"):
            operations = (describe, AclOperation.DESCRIBE_CONFIGS)
            wanted.append((topic, f"{out}{suffix}", any_topic, operations))
        wanted.append((ResourceType.GROUP, group, any_topic, (read,)))
        wanted.append((
            ResourceType.TRANSACTIONAL_ID, f"anomaly-worker.{group}.",
            ResourcePatternType.PREFIXED, (write, describe),
        ))  # fmt: skip
        bindings = [
            AclBinding(kind, name, pattern, f"User:{USER}", "*", op, AclPermissionType.ALLOW)
            for kind, name, pattern, operations in wanted
            for op in operations
        ]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_acls(list(dict.fromkeys(bindings))).values():
            future.result(30)


class SecuredRedis(RedisServer):
    """TLS alone, the default user off, one user with the rights of deploy/SECURITY.md.

    `admin_url`: the tests' own user, who may do everything.
    """

    def __init__(self, folder, binary, certificates, password, **options):
        folder.mkdir(parents=True, exist_ok=True)
        rules = folder / "users.acl"
        rules.write_text(
            f"user default off\nuser admin on >{password} ~* +@all\n"
            f"user {USER} on >{password} ~anomaly:* {REDIS_RULES}\n"
        )
        (port,) = free_ports(1)
        super().__init__(
            folder, binary, port=0, tls_port=port, tls_cert_file=certificates.certificate,
            tls_key_file=certificates.key, tls_ca_cert_file=certificates.authority,
            tls_auth_clients="no", aclfile=rules, **options,
        )  # fmt: skip
        query = f"?ssl_ca_certs={certificates.authority}"
        self.url, self.admin_url = (
            f"rediss://{user}:{password}@127.0.0.1:{port}/0{query}" for user in (USER, "admin")
        )
