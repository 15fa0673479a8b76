#!/usr/bin/env python3
"""Takes a picture of a page, once its images are drawn, in a browser without a window.

    python scripts/experiments/screenshot.py weights/swift_page.html weights/page.png

It needs the extra `page`, and Debian's packages chromium and chromium-driver.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
SECONDS_TO_WAIT = 60


def find_browser() -> tuple[str, str] | None:
    """Returns where the browser and the program that drives it are; None where one is not installed."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which(DRIVER)
    return (browser, driver) if browser and driver else None


def start_browser(browser: str, driver: str) -> "Chrome":
    """Starts a browser that keeps what pages tell its console."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("--headless=new", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    if os.getuid() == 0:  # Its sandbox wants another user.
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(driver))


def wait_until_drawn(chrome: "Chrome") -> None:
    """Waits until a page that is open has drawn all its images.

    Raises:
        TimeoutError: If it takes longer than `SECONDS_TO_WAIT`.
    """
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while chrome.execute_script("return document.body.dataset.drawn") != "yes":
        if time.monotonic() > deadline:
            raise TimeoutError(f"the images are not drawn; the console says {chrome.get_log('browser')}")
        time.sleep(0.02)


def main() -> int:
    """Takes the picture; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="what display --page wrote")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--width", type=int, default=1280, help="of the window (default: 1280)")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light", help="(default: light)")
    arguments = parser.parse_args()
    found = find_browser()
    if not found:
        print("install chromium and chromium-driver first", file=sys.stderr)
        return 1
    chrome = start_browser(*found)
    try:
        scheme = {"name": "prefers-color-scheme", "value": arguments.scheme}
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        screen = {"width": arguments.width, "height": 900, "deviceScaleFactor": 1}
        screen["mobile"] = arguments.width < 500
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        chrome.get(arguments.page.absolute().as_uri())
        wait_until_drawn(chrome)
        # All of the page, however long.
        screen["height"] = chrome.execute_script("return document.documentElement.scrollHeight")
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        chrome.save_screenshot(str(arguments.picture))
    finally:
        chrome.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
