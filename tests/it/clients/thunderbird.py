"""Runs Thunderbird without a screen, in a place of its own, and hands on what it is to do.

Arguments: an empty folder for its profile, the socket of the proxy that is its only way out, the script
of what it can do. Orders come on standard input, a line of JSON each: `[NAME, ARGUMENTS]`, for a function
of the script. What that gave comes on standard output, a line each: `{"done": VALUE}` or `{"failed": TEXT}`.

It is to be started in a network namespace of its own (`unshare --net`): so there is no other way out, and
the port that Thunderbird listens on for us is nobody else's.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

PATIENCE = 150  # seconds until Thunderbird has to be there; what it does may take twice that

PREFERENCES = {
    # Everything goes to the proxy, names unresolved; nothing is local enough to go round it.
    "network.proxy.type": 1,
    "network.proxy.socks_version": 5,
    "network.proxy.socks_remote_dns": True,
    "network.proxy.no_proxies_on": "",
    "network.proxy.failover_direct": False,
    # It calls nobody of its own accord.
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "app.shield.optoutstudies.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.region.network.url": "",
    "browser.region.update.enabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "extensions.blocklist.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "mail.inappnotifications.enabled": False,
    "mailnews.auto_config.addons_url": "",
    "mailnews.auto_config_url": "",
    "mailnews.start_page.enabled": False,
    "mailnews.start_page_override.mstone": "ignore",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.trr.mode": 5,
    "security.OCSP.enabled": 0,
    "security.remote_settings.crlite_filters.enabled": False,
    "security.remote_settings.intermediates.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "data:,",
    "toolkit.telemetry.unified": False,
}


class Marionette:
    """What drives Thunderbird: JSON with its length before it, over a socket."""

    def __init__(self, thunderbird):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", 2828))
                break
            except OSError:
                if thunderbird.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("Thunderbird does not start") from None
                time.sleep(0.05)
        self.stream = self.socket.makefile("rb")
        self.number = 0
        self.receive()  # its greeting

    def receive(self):
        length = b""
        while not length.endswith(b":"):
            octet = self.stream.read(1)
            if not octet:
                raise SystemExit("Thunderbird is gone")
            length += octet
        return json.loads(self.stream.read(int(length[:-1])))

    def ask(self, command, **parameters):
        self.number += 1
        said = json.dumps([0, self.number, command, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(said), said))
        _, number, error, value = self.receive()
        assert number == self.number
        if error:
            raise SystemExit(f"{command}: {error}")
        return value

    def run(self, script, arguments):
        return self.ask("WebDriver:ExecuteAsyncScript", script=script, args=arguments)["value"]


def lift_loopback():
    """What `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1))


def start(folder, proxy):
    profile = os.path.join(folder, "profile")
    os.makedirs(profile)
    preferences = PREFERENCES | {"network.proxy.socks": f"file://{proxy}"}
    with open(os.path.join(profile, "user.js"), "w") as file:
        for name, value in preferences.items():
            file.write(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n")
    environment = {"HOME": folder, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MOZ_CRASHREPORTER_DISABLE": "1"}
    options = ["--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", profile]
    with open(os.path.join(folder, "log"), "w") as log:
        return subprocess.Popen(
            ["thunderbird", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main():
    folder, proxy, script = sys.argv[1:4]
    lift_loopback()
    thunderbird = start(folder, proxy)
    marionette = Marionette(thunderbird)
    marionette.ask("WebDriver:NewSession")
    marionette.ask("WebDriver:SetTimeouts", script=2 * PATIENCE * 1000)
    marionette.ask("Marionette:SetContext", value="chrome")
    with open(script) as file:
        library = file.read()
    call = "const [name, given, done] = arguments;\ncall(name, given).then(done);"
    for line in sys.stdin:
        print(json.dumps(marionette.run(f"{library}\n{call}", json.loads(line))), flush=True)
    thunderbird.kill()
    thunderbird.wait()


main()
